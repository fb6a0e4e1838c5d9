export const subscriptionTypeDefs = /* GraphQL */ `
  type UserChange {
    operation: String!
    key: ID!
    user: User
  }
  type Subscription {
    userChanged: UserChange!
  }
`;

/** Where the trigger that bed/notify.mjs makes tells of changes. */
export const CHANNEL = 'user_changed';
