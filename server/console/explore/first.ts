import type { Input, Table } from '../state/tables.ts';
import { EXAMPLES } from '../state/values.ts';

const HEAD = `# Run with Ctrl-Enter. On the left: documentation, history.
# extensions.readback.source says who answered. The bookmark
# goes along in a cookie, so you read what you have written.
`;

const CHANGES = `# To go on after a change: changes(after: "its cursor")
subscription Changes {
  changes {
    ... on Change {
      cursor
      operation
      table
      key
      changedFields
      lagMs
    }
    ... on CaughtUp {
      cursor
    }
  }
}
`;

/** Enough to see what a row is. */
const MOST_COLUMNS = 5;

/** What the explorer opens with: a page, a write and the changes, of the schema's first table. */
export function firstOf([table]: readonly Table[]): string {
  return [HEAD, ...(table ? [rows(table), creation(table)] : []), CHANGES].filter((part) => part !== '').join('\n');
}

function rows({ name, columns }: Table): string {
  const fields = columns.slice(0, MOST_COLUMNS).map((column) => `      ${column.name}`);
  return `query Rows {
  ${name}(first: 5) {
    totalCount
    nodes {
${fields.join('\n')}
    }
  }
}
`;
}

/** Only what has to be given. */
function creation({ create }: Table): string {
  if (!create) return '';
  const given = create.inputs.filter(({ isRequired }) => isRequired);
  const fields = given.map((input) => `      ${input.name}: ${literalOf(input)}`);
  const input = fields.length === 0 ? '' : `\n    input: {\n${fields.join('\n')}\n    }\n  `;
  const all = create.inputType === undefined ? '' : `(${input === '' ? 'input: {}' : input})`;
  return `mutation Create {
  ${create.name}${all} {
    ${create.row} {
      id
    }
    bookmark
  }
}
`;
}

/** Of its type; whether the table takes it, the server says. */
function literalOf({ of, isList, values }: Input): string {
  if (isList) return '[]';
  if (values) return values[0] ?? 'null';
  switch (of) {
    case 'Int':
    case 'Float':
    case 'Double':
      return '1';
    case 'Boolean':
      return 'true';
    case 'JSON':
      return '{ a: 1 }';
    case 'ID':
      return '"1"';
    default:
      return `"${EXAMPLES[of] ?? 'text'}"`;
  }
}
