import { filter, order, setFilter, setOrder } from '../state/page.ts';
import { chosen, chosenId, hashOf } from '../state/schema.ts';
import type { Input, Table } from '../state/tables.ts';
import { textOf } from '../state/values.ts';

/** What rows are asked by: the key, the filters and the orders that the table offers. */
export function Asking({ table }: { table: Table }) {
  return (
    <form
      class="filters"
      role="search"
      aria-label={`Rows of ${table.name}`}
      onSubmit={(event) => event.preventDefault()}
    >
      {table.one !== undefined && (
        <label>
          Key
          <input
            type="search"
            name="key"
            placeholder="id of a row"
            value={chosenId.value ?? ''}
            onChange={(event) => find(event.currentTarget.value)}
          />
        </label>
      )}
      {chosenId.value === null && table.filter?.inputs.map((input) => <Filter key={input.name} input={input} />)}
      {chosenId.value === null && table.order && <OrderBy fields={table.order.fields} />}
    </form>
  );
}

function find(text: string): void {
  location.hash = hashOf(chosen.value!.name, text === '' ? null : text);
}

function Filter({ input }: { input: Input }) {
  const { name, of, values, description } = input;
  const choices = values ?? (of === 'Boolean' ? ['true', 'false'] : undefined);
  const value = filter.value[name];
  const set = (text: string) => setFilter({ [name]: text === '' ? undefined : valueOf(input, text) });
  return (
    <label title={description ?? undefined}>
      {name}
      {choices ? (
        <select
          name={`filter-${name}`}
          value={value === undefined ? '' : textOf(value)}
          onChange={(event) => set(event.currentTarget.value)}
        >
          <option value="">any</option>
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          type="search"
          name={`filter-${name}`}
          placeholder={of}
          value={value === undefined ? '' : textOf(value)}
          onChange={(event) => set(event.currentTarget.value)}
        />
      )}
    </label>
  );
}

/** What is no number goes as it is: the server says what it expected. */
function valueOf({ of }: Input, text: string): unknown {
  if (of === 'Boolean') return text === 'true';
  const isNumber = ['Int', 'Float', 'Double'].includes(of) && Number.isFinite(Number(text));
  return isNumber ? Number(text) : text;
}

const USUAL = '';

function OrderBy({ fields }: { fields: readonly string[] }) {
  const { value } = order;
  const choose = (text: string) => {
    const [direction, field] = text.split(' ') as ['ASC' | 'DESC', string];
    setOrder(text === USUAL ? null : { field, direction });
  };
  return (
    <label>
      Order
      <select
        name="order"
        value={value ? `${value.direction} ${value.field}` : USUAL}
        onChange={(event) => choose(event.currentTarget.value)}
      >
        <option value={USUAL}>the usual</option>
        {fields.flatMap((field) => [
          <option key={`ASC ${field}`} value={`ASC ${field}`}>{`${field} ↑`}</option>,
          <option key={`DESC ${field}`} value={`DESC ${field}`}>{`${field} ↓`}</option>,
        ])}
      </select>
    </label>
  );
}
