import {
  Arg,
  Args,
  Ctx,
  FieldResolver,
  ID,
  Mutation,
  Query,
  Resolver,
  Root,
  Subscription,
  type ClassType,
} from 'type-graphql';
import { RowChangedArgs, type Change } from '../types/change.type.ts';
import { ConfirmArg, type Confirm } from '../types/confirmation.type.ts';
import { PageArgs } from '../types/page.type.ts';
import { Allowed, assertMayAskBy, assertMayCreate, showToWriter } from '../../auth/rights.ts';
import { mayAll, type Viewer } from '../../auth/viewer.ts';
import {
  columnText,
  namedBy,
  parseId,
  type Declaration,
  type DeclaredColumn,
  type DeclaredFilter,
  type Relation,
} from '../../declare/declaration.ts';
import type { Fragment, Sql } from '../../database/connect.ts';
import { rowsOf, type Parent, type Rows } from '../../reads/rows.ts';
import type { Filter } from '../../database/sql/table.ts';
import { changesOf } from './changes.ts';
import type { Context } from './context.ts';
import { assertSeesReferences, defined, given, write, writeOne, type Written } from './mutations.ts';
import { naming } from './naming.ts';
import { connect, type Asked as Order } from './page.ts';
import { changeable, changeType, createInput, givenBy, payloadType, typesOf, updateInput } from './types.ts';

export interface Row {
  id: string;
}

/** The resolvers of a table: its rows, pages and changes, what is written as it is given, and relations. */
export function resolversOf(type: ClassType<Row>): ClassType[] {
  const rows = rowsOf(type);
  const { relations: named, isView } = rows.declaration;
  return [
    reader(rows),
    ...(isView ? [] : [watcher(rows.declaration), ...writers(rows)]),
    ...named.flatMap((one) => relations(rows, one)),
  ];
}

function writers(rows: Rows<Row>): ClassType[] {
  const { own } = rows.declaration;
  return [
    ...(own.has('create') ? [] : [creator(rows)]),
    ...(own.has('update') || changeable(rows.declaration).length === 0 ? [] : [updater(rows)]),
    ...(own.has('delete') ? [] : [deleter(rows)]),
  ];
}

const MayRead = ({ read }: Declaration) => Allowed(read ? 'signedIn' : 'administrators');
const MayWrite = ({ write: rule }: Declaration) => Allowed(rule ? 'owner' : 'administrators');

function reader(rows: Rows<Row>): ClassType {
  const { type, one, many, filter } = rows.declaration;
  const types = typesOf(rows.declaration);
  // What reads as such an id is one for PostgreSQL, too.
  const isKeyTaken = rows.declaration.key.every(({ form }) => form.isOneText === true);
  const isByKey = rows.declaration.orderBy[0] === rows.declaration.key[0];
  const description = isByKey ? 'By the key where it is left out' : 'Newest first where it is left out';
  @Resolver(() => type)
  class Reader {
    @MayRead(rows.declaration)
    @Query(() => type, { name: one, nullable: true })
    one(@Arg('id', () => ID) id: string, @Ctx() context: Context): Promise<Row | null> {
      const key = parseId(rows.declaration, id);
      const load = () => context.loaders.load(rows.byId, key);
      return isKeyTaken ? load() : naming(context, { table: rows.table, id: key }, load);
    }

    @MayRead(rows.declaration)
    @Query(() => types.connection, { name: many })
    many(
      @Arg('orderBy', () => types.order, { nullable: true, description }) order: Order | null | undefined,
      @Args(() => PageArgs) page: PageArgs,
      @Ctx() context: Context,
      @inputArg('filter', types.filter) asked?: Asked | null,
    ) {
      const scope = toFilter(context.viewer, filter, asked ?? {});
      const load = () => connect(context, rows, rows.all, scope, page, order);
      return asked ? naming(context, { table: rows.table, values: scope.equal }, load) : load();
    }
  }
  return Reader;
}

/** The last argument: there is none where its type would have no fields. */
const inputArg = (name: 'filter' | 'input', type: ClassType | undefined): ReturnType<typeof Arg> =>
  type ? Arg(name, () => type, { nullable: name === 'filter' }) : () => {};

type Asked = Readonly<Record<string, unknown>>;

/** Without the columns that the viewer may not search by. @throws ClientError FORBIDDEN for a filter by one of those. */
function toFilter(viewer: Viewer, filter: DeclaredFilter | undefined, asked: Asked): Filter {
  const { search, by = [] } = filter ?? {};
  const set = by.filter(({ name }) => asked[name] != null);
  for (const { column } of set) assertMayAskBy(viewer, column);
  const searched = search?.columns.filter(({ sees }) => sees === undefined || mayAll(viewer)) ?? [];
  const text = asked['search'] as string | null | undefined;
  if (text && searched.length === 0) assertMayAskBy(viewer, search!.columns[0]!);
  const valuesOf = (isGiven: boolean) =>
    set.filter((one) => one.isGiven === isGiven).map(({ name, column }) => [column.field, asked[name]]);
  return {
    ...(text && { search: { text, columns: searched.map(({ name }) => name) } }),
    equal: Object.fromEntries(valuesOf(false)) as Filter['equal'],
    given: Object.fromEntries(valuesOf(true)) as Filter['given'],
  };
}

function watcher(table: Declaration): ClassType {
  const change = changeType(table);
  const description = `Changes of ${table.name}, each read back from a replica before it is sent`;
  @Resolver(() => table.type)
  class Watcher {
    @MayRead(table)
    @Subscription(() => change, { name: `${table.one}Changed`, subscribe: changesOf(table), description })
    changed(@Args(() => RowChangedArgs, { validate: false }) _args: RowChangedArgs, @Root() event: Change): Change {
      return event;
    }
  }
  return Watcher;
}

function creator(rows: Rows<Row>): ClassType {
  const { declaration, table } = rows;
  const payload = payloadType(declaration);
  const input = givenBy(declaration).length === 0 ? undefined : createInput(declaration);
  @Resolver(() => declaration.type)
  class Creator {
    @MayWrite(declaration)
    @Mutation(() => payload, { name: `create${declaration.type.name}` })
    async create(@ConfirmArg() confirm: Confirm, @Ctx() context: Context, @inputArg('input', input) asked?: object) {
      const values = defined(asked ?? {});
      assertMayCreate(context.viewer, declaration, values);
      const written = await naming(context, { table, values }, async () => {
        await assertSeesReferences(context, rows, values);
        return write(context, confirm, (sql) => table.insert(sql, values));
      });
      showToWriter(written.row);
      return toPayload(rows, written);
    }
  }
  return Creator;
}

function updater(rows: Rows<Row>): ClassType {
  const { declaration, table } = rows;
  const payload = payloadType(declaration);
  const input = updateInput(declaration);
  @Resolver(() => declaration.type)
  class Updater {
    @MayWrite(declaration)
    @Mutation(() => payload, {
      name: `update${declaration.type.name}`,
      description: 'What is left out stays',
    })
    async update(
      @Arg('id', () => ID) id: string,
      @Arg('input', () => input) asked: object,
      @ConfirmArg() confirm: Confirm,
      @Ctx() context: Context,
    ) {
      const patch = given(asked);
      const key = parseId(declaration, id);
      const look = () => assertSeesReferences(context, rows, patch, key);
      const set = (sql: Sql, only: Fragment) => table.update(sql, only, patch);
      return toPayload(rows, await writeOne(context, confirm, rows, id, set, patch, look));
    }
  }
  return Updater;
}

function deleter(rows: Rows<Row>): ClassType {
  const { declaration, table } = rows;
  const payload = payloadType(declaration);
  @Resolver(() => declaration.type)
  class Deleter {
    @MayWrite(declaration)
    @Mutation(() => payload, {
      name: `delete${declaration.type.name}`,
      description: 'Answers with the row as it was',
    })
    async delete(@Arg('id', () => ID) id: string, @ConfirmArg() confirm: Confirm, @Ctx() context: Context) {
      return toPayload(rows, await writeOne(context, confirm, rows, id, (sql, only) => table.delete(sql, only)));
    }
  }
  return Deleter;
}

/** From the row that names another to that one, and from that one to all that name it. */
function relations(rows: Rows<Row>, relation: Relation): ClassType[] {
  const parent = rowsOf(relation.to() as ClassType<Row>);
  const { many } = relation;
  return [toOne(rows, relation, parent), ...(many === undefined ? [] : [toMany(rows, relation, parent, many)])];
}

/** type-graphql finds a field of a type by the name of the method, so that is the field's own. */
function toOne({ declaration }: Rows<Row>, relation: Relation, parent: Rows<Row>): ClassType {
  const by = parent.by(relation.references());
  @Resolver(() => declaration.type)
  class ToOne {
    @Allowed('signedIn')
    @FieldResolver(() => parent.declaration.type, { nullable: true })
    [relation.as](@Root() row: Row, @Ctx() { loaders }: Context): Promise<Row | null> | null {
      const found = namedBy(relation, row);
      if (!found) return null;
      const { id, texts } = found;
      return id === undefined ? loaders.load(by, JSON.stringify(texts)) : loaders.load(parent.byId, id);
    }
  }
  return ToOne;
}

function toMany(rows: Rows<Row>, relation: Relation, parent: Rows<Row>, many: string): ClassType {
  const { connection } = typesOf(rows.declaration);
  const under = rows.under(relation.columns);
  const named = relation.references();
  @Resolver(() => parent.declaration.type)
  class ToMany {
    @Allowed('signedIn')
    @FieldResolver(() => connection, { description: 'Newest first' })
    [many](@Root() row: Row, @Args(() => PageArgs) page: PageArgs, @Ctx() context: Context) {
      return connect(context, rows, under, parentIn(row, named), page);
    }
  }
  return ToMany;
}

/** What the rows under this one have in the columns that name it. */
function parentIn(row: Row, named: readonly DeclaredColumn[]): Parent {
  const texts = named.map((column) => {
    const value = (row as unknown as Readonly<Record<string, unknown>>)[column.field];
    return value == null ? null : column.form.parse(columnText(column, value))!;
  });
  return texts.length === 1 ? texts[0]! : JSON.stringify(texts);
}

/** A written row as the answer to its mutation, which has it in a field of the row's name. */
export const toPayload = <R extends Row>({ declaration, table }: Rows<R>, { row, ...rest }: Written<R>) => ({
  [declaration.one]: table.finish(row),
  ...rest,
});
