import { Arg, Args, Ctx, ID, Mutation, Query, Resolver, Root, Subscription, type ClassType } from 'type-graphql';
import { RowChangedArgs, type Change } from '../../schema/change.type.ts';
import { ConfirmArg, type Confirm } from '../../schema/confirmation.type.ts';
import { assertMayCreate, assertMayGive } from '../access/rights.ts';
import type { Source } from '../loaders/source.ts';
import type { Table } from '../store/table.ts';
import { changesOf, type WatchedTable } from './changes.ts';
import type { Context } from './context.ts';
import { parseId } from './ids.ts';
import { assertSeesParents, defined, given, write, writeOne, type Parents, type Written } from './mutations.ts';

/** The types of rows, and their tables: whoever sees which is decided by these names. */
export const ROW_TYPES = new Map<string, string>();

interface Rows<Row extends { id: string }> {
  table: Table<Row, never, never, never>;
  byId: Source<string, Row | null>;
  type: ClassType;
  payload: ClassType;
  changes: WatchedTable;
}

/** What the feed needs to know to tell of the table's rows; `times` are the fields that are timestamps. */
export const watch = (
  { name, one }: Pick<Table<never, never, never, never>, 'name' | 'one'>,
  change: new () => Change,
  times: readonly string[],
): WatchedTable => ({ table: name, keyColumn: 'id', change, field: one, times });

/** What every table has: a row by its id, its deletion, and its changes. `class UserResolver extends rowResolver({ … }) {}` */
export function rowResolver<Row extends { id: string }>({ table, byId, type, payload, changes }: Rows<Row>) {
  ROW_TYPES.set(type.name, table.name);
  @Resolver(() => type)
  abstract class RowResolver {
    @Query(() => type, { name: table.one, nullable: true })
    async one(@Arg('id', () => ID) id: string, @Ctx() { loaders }: Context): Promise<Row | null> {
      return loaders.load(byId, parseId(id));
    }

    @Mutation(() => payload, { name: `delete${type.name}`, description: 'Answers with the row as it was' })
    async delete(@Arg('id', () => ID) id: string, @ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
      return toPayload(table, await writeOne(context, confirm, table, id, (sql, key) => table.delete(sql, key)));
    }

    @Subscription(() => changes.change, {
      name: `${table.one}Changed`,
      subscribe: changesOf(changes),
      description: `Changes of ${table.name}, each read back from a replica before it is sent`,
    })
    changed(@Args(() => RowChangedArgs, { validate: false }) _args: RowChangedArgs, @Root() change: Change): Change {
      return change;
    }
  }
  return RowResolver;
}

interface WritableRows<Row extends { id: string }, Values extends object> extends Rows<Row> {
  table: Table<Row, never, never, Values>;
  create: ClassType<Values>;
  update: ClassType<object>;
  /** What rows are put under, by the fields that name it: nothing goes under what the viewer does not see. */
  parents?: Parents;
}

/** And where the values that clients give are written as they are: creation and update. */
export function writableResolver<Row extends { id: string }, Values extends object>(rows: WritableRows<Row, Values>) {
  const { table, type, payload, create, update, parents = {} } = rows;
  @Resolver(() => type)
  abstract class WritableResolver extends rowResolver(rows) {
    @Mutation(() => payload, { name: `create${type.name}` })
    async create(@Arg('input', () => create) input: Values, @ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
      const values = defined(input) as Values;
      assertMayCreate(context.viewer, table.name, values);
      await assertSeesParents(context, parents, values);
      return toPayload(table, await write(context, confirm, (sql) => table.insert(sql, values)));
    }

    @Mutation(() => payload, { name: `update${type.name}`, description: 'What is left out stays' })
    async update(
      @Arg('id', () => ID) id: string,
      @Arg('input', () => update) input: object,
      @ConfirmArg() confirm: Confirm,
      @Ctx() context: Context,
    ) {
      const patch = given(input) as Partial<Values>;
      assertMayGive(context.viewer, table.name, patch);
      await assertSeesParents(context, parents, patch);
      return toPayload(table, await writeOne(context, confirm, table, id, (sql, key) => table.update(sql, key, patch)));
    }
  }
  return WritableResolver;
}

/** A written row as the answer to its mutation, which has it in a field of the row's name. */
export const toPayload = <Row>({ one }: { one: string }, { row, ...rest }: Written<Row>) => ({ [one]: row, ...rest });
