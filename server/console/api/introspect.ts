/** A type as it stands in a field or an argument: what it is of, within lists and what is never null. */
export interface TypeRef {
  kind: string;
  name: string | null;
  ofType: TypeRef | null;
}

export interface InputValue {
  name: string;
  description: string | null;
  type: TypeRef;
  defaultValue: string | null;
}

export interface SchemaField {
  name: string;
  args: InputValue[];
  type: TypeRef;
}

export interface SchemaType {
  kind: string;
  name: string;
  fields: SchemaField[] | null;
  inputFields: InputValue[] | null;
  enumValues: { name: string }[] | null;
  interfaces: { name: string }[] | null;
}

export interface Schema {
  queryType: { name: string };
  mutationType: { name: string } | null;
  types: SchemaType[];
}

/** Only what this page goes by. Lists of lists are taken as deep as they come: seven is more than any. */
export const INTROSPECTION = `query Schema {
  __schema {
    queryType { name }
    mutationType { name }
    types {
      kind
      name
      fields { name args { ...Value } type { ...Ref } }
      inputFields { ...Value }
      enumValues { name }
      interfaces { name }
    }
  }
}
fragment Value on __InputValue { name description defaultValue type { ...Ref } }
fragment Ref on __Type {
  kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } }
}`;
