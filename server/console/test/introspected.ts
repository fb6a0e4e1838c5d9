import { buildSchema, graphqlSync, type GraphQLSchema } from 'graphql';
import { INTROSPECTION, type Schema } from '../api/introspect.ts';

/** What the server makes of every table, by its declaration: here of one with each kind of input. */
export const SDL = `
type Query {
  replication: String
  note(id: ID!): Note
  noteOf(id: ID!): Note
  notes(filter: NoteFilter, first: Int, after: String, last: Int, before: String, orderBy: NoteOrder): NoteConnection!
  latestNotes(first: Int, after: String): NoteConnection!
  tag(id: ID!): Tag
  tagList(first: Int, after: String, last: Int, before: String, orderBy: TagOrder): TagConnection!
}
type Mutation {
  createNote(confirm: Confirm! = COMMITTED, input: CreateNoteInput!): NotePayload!
  updateNote(confirm: Confirm! = COMMITTED, input: UpdateNoteInput!, id: ID!): NotePayload!
  replaceNote(confirm: Confirm! = COMMITTED, input: CreateNoteInput!, id: ID!): NotePayload!
  deleteNote(confirm: Confirm! = COMMITTED, id: ID!): NotePayload!
  archiveNote(confirm: Confirm! = COMMITTED, id: ID!): NotePayload!
  createTag(confirm: Confirm! = COMMITTED): TagPayload!
  signIn(login: String!, password: String!): String
}
type Subscription { changes(tables: [String!], after: Cursor, snapshot: Boolean! = false, latest: Int): FeedEvent! }
type Note { id: ID! title: String! size: BigInt mood: Mood words: [String] doc: JSON at: DateTime! tag: Tag tags(first: Int, after: String): TagConnection! }
type Tag { id: ID! name: String at(zone: String!): String }
enum Mood { SAD GLAD }
enum Confirm { COMMITTED REPLICATED }
enum Operation { INSERT UPDATE DELETE }
enum Direction { ASC DESC }
enum NoteField { AT TITLE }
enum TagField { ID }
input NoteOrder { field: NoteField! direction: Direction! }
input TagOrder { field: TagField! direction: Direction! }
input NoteFilter { "A prefix" search: String mood: Mood published: Boolean }
input CreateNoteInput { title: String! pin: String size: BigInt mood: Mood words: [String] doc: JSON tagId: ID isSeen: Boolean! = false }
input UpdateNoteInput { title: String pin: String size: BigInt mood: Mood words: [String] doc: JSON }
type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
type NoteConnection { nodes: [Note!]! pageInfo: PageInfo! totalCount: Int! }
type TagConnection { nodes: [Tag!]! pageInfo: PageInfo! totalCount: Int! }
type NotePayload { bookmark: String! note: Note! }
type TagPayload { bookmark: String! tag: Tag! }
interface Change { cursor: Cursor! operation: Operation! table: String! key: ID! changedFields: [String!]! committedAt: DateTime! appliedAt: DateTime! lagMs: Float! }
type NoteChange implements Change { cursor: Cursor! operation: Operation! table: String! key: ID! changedFields: [String!]! committedAt: DateTime! appliedAt: DateTime! lagMs: Float! note: Note before: Note }
type TagChange implements Change { cursor: Cursor! operation: Operation! table: String! key: ID! changedFields: [String!]! committedAt: DateTime! appliedAt: DateTime! lagMs: Float! tag: Tag before: Tag }
type CaughtUp { cursor: Cursor! }
union FeedEvent = NoteChange | TagChange | CaughtUp
scalar Cursor scalar DateTime scalar JSON scalar BigInt`;

export const introspected = (schema: GraphQLSchema): Schema =>
  (graphqlSync({ schema, source: INTROSPECTION }).data as unknown as { __schema: Schema }).__schema;

export const schemaOf = (sdl = SDL) => buildSchema(sdl);
