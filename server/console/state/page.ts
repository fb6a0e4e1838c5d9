import { batch, effect, signal, untracked } from '@preact/signals';
import { answer, ask, Refusal } from '../api/ask.ts';
import { countOf, oneOf, pageOf } from './documents.ts';
import { chosen, chosenId } from './schema.ts';
import type { Table } from './tables.ts';
import type { Row } from './values.ts';

const PAGE_SIZE = 20;

/** Where a page begins: after a cursor, or before one. */
type Start = { first: number; after?: string | null } | { last: number; before: string };

interface PageInfo {
  hasNextPage: boolean;
  hasPreviousPage: boolean;
  startCursor: string | null;
  endCursor: string | null;
}

/** One page of rows, as a server has answered it. */
export interface Page {
  table: Table;
  nodes: readonly Row[];
  info: PageInfo;
  source: string | undefined;
  tookMs: number;
}

export interface Order {
  field: string;
  direction: 'ASC' | 'DESC';
}

const FIRST = { first: PAGE_SIZE };

/** The latest page; null before the first. */
export const page = signal<Page | null>(null);
export const problem = signal<Refusal | null>(null);
/** Of all pages together; null: not known, or too many to count in time. */
export const count = signal<number | null>(null);
/** Only the fields that are set. */
export const filter = signal<Readonly<Record<string, unknown>>>({});
export const order = signal<Order | null>(null);
export const isReading = signal(false);

let start: Start = FIRST;
/** What was asked before the latest question is answered too late. */
let asked = 0;
let countAsked = 0;

/** Reads the chosen table from its start whenever another one is chosen, or another row by its id. */
export function followChosen(): void {
  let before: string | undefined;
  effect(() => {
    const table = chosen.value;
    void chosenId.value;
    untracked(() => {
      if (table?.name !== before) batch(() => ((filter.value = {}), (order.value = null), (count.value = null)));
      before = table?.name;
      if (table) readAndCount(FIRST);
    });
  });
}

export function setFilter(part: Readonly<Record<string, unknown>>): void {
  const all = Object.entries({ ...filter.value, ...part }).filter(([, value]) => value !== undefined);
  filter.value = Object.fromEntries(all);
  readAndCount(FIRST);
}

export function setOrder(wanted: Order | null): void {
  order.value = wanted;
  readFrom(FIRST);
}

export const nextPage = () => readFrom({ first: PAGE_SIZE, after: page.value!.info.endCursor });
export const previousPage = () => readFrom({ last: PAGE_SIZE, before: page.value!.info.startCursor! });
export const readAgain = () => readAndCount(start);

function readFrom(place: Start): void {
  start = place;
  const table = chosen.value!;
  const number = ++asked;
  const isWanted = () => number === asked;
  isReading.value = true;
  void read(table, place, isWanted);
}

/** A count is asked for where it may be another one: other pages of the same rows have the same. */
function readAndCount(place: Start): void {
  readFrom(place);
  const number = ++countAsked;
  void countRows(chosen.value!, () => number === countAsked);
}

async function read(table: Table, place: Start, isWanted: () => boolean): Promise<void> {
  try {
    const found = await (chosenId.value === null ? readPage(table, place) : readOne(table, chosenId.value));
    if (isWanted()) batch(() => ((page.value = found), (problem.value = null), (isReading.value = false)));
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(String(error), 'INTERNAL_SERVER_ERROR');
    if (isWanted()) batch(() => ((page.value = null), (problem.value = refusal), (isReading.value = false)));
  }
}

/** A last page that is read backwards may begin with the first row: then it is read from there, to be full. */
async function readPage(table: Table, place: Start): Promise<Page> {
  const variables = { ...place, filter: filter.value, orderBy: order.value };
  const { data, source, tookMs } = await answer<{ page: { nodes: Row[]; pageInfo: PageInfo } }, object>(
    pageOf(table),
    variables,
  );
  const { nodes, pageInfo: info } = data.page;
  if ('last' in place && !info.hasPreviousPage && nodes.length < PAGE_SIZE) return readPage(table, (start = FIRST));
  return { table, nodes, info, source, tookMs };
}

const ALONE: PageInfo = { hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null };

async function readOne(table: Table, id: string): Promise<Page> {
  const { data, source, tookMs } = await answer<{ row: Row | null }, object>(oneOf(table), { id });
  return { table, nodes: data.row ? [data.row] : [], info: ALONE, source, tookMs };
}

async function countRows(table: Table, isWanted: () => boolean): Promise<void> {
  const counted = await ask<{ page: { totalCount: number } }, object>(countOf(table), { filter: filter.value }).catch(
    () => null,
  );
  if (isWanted()) count.value = counted && counted.page.totalCount;
}
