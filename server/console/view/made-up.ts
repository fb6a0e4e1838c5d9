/** What is in the form. */
export interface Draft {
  username: string;
  email: string;
  password: string;
  firstName: string;
  lastName: string;
  isActive: boolean;
}

const PEOPLE = [
  ['Ada', 'Lovelace'],
  ['Grace', 'Hopper'],
  ['Edsger', 'Dijkstra'],
  ['Barbara', 'Liskov'],
  ['Alan', 'Turing'],
  ['Radia', 'Perlman'],
  ['Jim', 'Gray'],
  ['Frances', 'Allen'],
  ['Tony', 'Hoare'],
  ['Margaret', 'Hamilton'],
] as const;

let next = Math.floor(Math.random() * PEOPLE.length);

/** A user that nobody has yet, so that one press shows what happens. */
export function madeUp(): Draft {
  const [firstName, lastName] = PEOPLE[next++ % PEOPLE.length]!;
  const username = `${firstName.toLowerCase()}-${random(4)}`;
  return { username, email: `${username}@example.com`, password: random(12), firstName, lastName, isActive: true };
}

function random(length: number): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789';
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => letters[byte % letters.length]).join('');
}
