/** Before a clause that begins a line and before the bracket that ends a query in brackets. */
const BREAK = /(?<!delete) (?=(?:select|from|left join|cross join|where|order by|group by|values|set|returning)\b|\))/g;

/** One statement over several lines, indented by the brackets around them: for reading, and for comparing line by line. */
export function paragraph(statement: string): string {
  const plain = statement
    .replace(/\s+/g, ' ')
    .replace(/"(\w+)"/g, '$1')
    .replace(/ ?values ?\(/g, ' values (')
    .replace(/,(?=\S)/g, ', ')
    .replace(/(?<=\w)=(?=\$)/g, ' = ');
  let depth = 0;
  const lines = plain.split(BREAK).map((line) => {
    const indent = '  '.repeat(line.startsWith(')') ? depth - 1 : depth);
    depth += line.split('(').length - line.split(')').length;
    return indent + line;
  });
  return `${lines.join('\n')};`;
}
