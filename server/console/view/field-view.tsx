import { isSecret, isWrittenAsJson, waysOf, type Entry } from '../state/draft.ts';
import { faults, setEntry } from '../state/form.ts';
import type { Input, Table } from '../state/tables.ts';
import { EXAMPLES } from '../state/values.ts';

interface FieldProps {
  input: Input;
  table: Table;
  isNew: boolean;
  entry: Entry | undefined;
}

const OUT: Entry = { how: 'out', text: '' };
const WORDS = { out: 'left out', null: 'null', value: 'value' };

/** One field of the form: its name and type, how it is filled in, what with, and what is wrong with it. */
export function FieldView({ input, table, isNew, entry = OUT }: FieldProps) {
  const { name, type, description } = input;
  const ways = waysOf(input, table, isNew);
  const fault = faults.value[name];
  const choices = choicesOf(input);
  const id = `field-${name}`;
  const control = {
    id,
    name,
    'aria-invalid': fault !== undefined,
    'aria-describedby': fault === undefined ? undefined : `${id}-fault`,
  };
  return (
    <div class="entry" data-how={entry.how}>
      <div class="entry-head">
        <label for={id} title={description ?? undefined}>
          {name}
        </label>
        <code class="entry-type">{type}</code>
        {!choices && ways.length > 1 && <Way name={name} ways={ways} entry={entry} />}
      </div>
      {choices ? (
        <Choice choices={choices} ways={ways} entry={entry} control={control} />
      ) : (
        <Text input={input} isSecret={isSecret(input, table)} entry={entry} control={control} />
      )}
      {fault !== undefined && (
        <p class="refusal" id={`${id}-fault`} role="alert">
          {fault}
        </p>
      )}
    </div>
  );
}

const choicesOf = ({ of, values, isList }: Input) =>
  isList ? undefined : of === 'Boolean' ? ['true', 'false'] : values;

function Way({ name, ways, entry }: { name: string; ways: readonly Entry['how'][]; entry: Entry }) {
  return (
    <select
      class="how"
      aria-label={`How ${name} is filled in`}
      value={entry.how}
      onChange={(event) => setEntry(name, { ...entry, how: event.currentTarget.value as Entry['how'] })}
    >
      {ways.map((how) => (
        <option key={how} value={how}>
          {WORDS[how]}
        </option>
      ))}
    </select>
  );
}

type Control = { id: string; name: string; 'aria-invalid': boolean; 'aria-describedby': string | undefined };

interface ControlProps {
  entry: Entry;
  control: Control;
}

/** Leaving out and null stand among the values. */
function Choice({
  choices,
  ways,
  entry,
  control,
}: ControlProps & { choices: readonly string[]; ways: readonly Entry['how'][] }) {
  const others = ways.filter((how) => how !== 'value');
  const isChosen = entry.how === 'value' && entry.text !== '';
  return (
    <select
      {...control}
      required={others.length === 0}
      value={isChosen ? `=${entry.text}` : entry.how}
      onChange={({ currentTarget: { value } }) =>
        setEntry(
          control.name,
          value.startsWith('=') ? { how: 'value', text: value.slice(1) } : { how: value as Entry['how'], text: '' },
        )
      }
    >
      {others.length === 0 && !isChosen && <option value="">choose</option>}
      {others.map((how) => (
        <option key={how} value={how}>
          {WORDS[how]}
        </option>
      ))}
      {choices.map((choice) => (
        <option key={choice} value={`=${choice}`}>
          {choice}
        </option>
      ))}
    </select>
  );
}

function placeholderOf({ of, isList }: Input): string {
  if (isList) return '["a", null]';
  return of === 'JSON' ? '{"a": 1}' : (EXAMPLES[of] ?? '');
}

function Text({ input, isSecret: isHidden, entry, control }: ControlProps & { input: Input; isSecret: boolean }) {
  const { of, isList } = input;
  const isGiven = entry.how === 'value';
  const shared = {
    ...control,
    value: isGiven ? entry.text : '',
    placeholder: isGiven ? placeholderOf(input) : WORDS[entry.how],
    // An empty text is one; of other types it is nothing.
    required: isGiven && (of !== 'String' || isList),
    onInput: (event: { currentTarget: { value: string } }) =>
      setEntry(control.name, { how: 'value', text: event.currentTarget.value }),
  };
  if (isHidden) return <input type="password" autocomplete="new-password" {...shared} />;
  if (isWrittenAsJson(input)) return <textarea class="code" rows={3} spellcheck={false} {...shared} />;
  if (of === 'String') return <textarea rows={1} {...shared} />;
  return <input autocomplete="off" inputMode={NUMBERS.has(of) ? 'decimal' : undefined} {...shared} />;
}

const NUMBERS = new Set(['Int', 'BigInt', 'Decimal']);
