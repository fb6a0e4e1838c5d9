import { signal } from '@preact/signals';
import {
  CreateUserDocument,
  DeleteUserDocument,
  UpdateUserDocument,
  UsersDocument,
} from '../../../schema/generated/operations.ts';
import { ask, Refusal } from '../api/ask.ts';
import type { Written } from '../state/way.ts';
import { send } from '../state/write.ts';
import { createAnother, draft, edited, load, type User } from './editing.ts';
import type { Draft } from './made-up.ts';
import { WayView } from './way-view.tsx';

const isSending = signal(false);
const refusal = signal<Refusal | null>(null);

export function WritePanel() {
  const user = edited.value;
  return (
    <section class="card write-panel" aria-labelledby="write-title" id="write">
      <div class="card-head">
        <h2 id="write-title">{user ? `Edit ${user.username}` : 'Create a user'}</h2>
        {user && <button onClick={createAnother}>Create instead</button>}
      </div>
      <div class="write-body">
        <div>
          <form class="fields" onSubmit={(event) => void submit(event)}>
            <Field name="username" label="Username" required minLength={3} maxLength={50} />
            <Field name="email" label="Email" type="email" required />
            <Field name="firstName" label="First name" maxLength={100} />
            <Field name="lastName" label="Last name" maxLength={100} />
            {user ? <Active /> : <Field name="password" label="Password" type="password" required minLength={8} wide />}
            <Refused />
            <div class="buttons">
              <button class="strong" disabled={isSending.value}>
                {user ? 'Save' : 'Create user'}
              </button>
              {user && (
                <button type="button" class="danger" disabled={isSending.value} onClick={() => void remove(user)}>
                  Delete
                </button>
              )}
            </div>
          </form>
          <Finder />
        </div>
        <WayView />
      </div>
    </section>
  );
}

const set = (part: Partial<Draft>) => (draft.value = { ...draft.value, ...part });

interface FieldProps {
  name: Exclude<keyof Draft, 'isActive'>;
  label: string;
  type?: 'text' | 'email' | 'password';
  required?: boolean;
  minLength?: number;
  maxLength?: number;
  wide?: boolean;
}

function Field({ name, label, type = 'text', wide = false, ...rules }: FieldProps) {
  const attributes: object = { type, ...rules };
  return (
    <label class={wide ? 'wide' : ''}>
      {label}
      <input
        name={name}
        autocomplete={type === 'password' ? 'new-password' : 'off'}
        value={draft.value[name]}
        aria-invalid={refusal.value?.field === name}
        onInput={(event) => set({ [name]: event.currentTarget.value })}
        {...attributes}
      />
    </label>
  );
}

function Active() {
  return (
    <label class="check wide">
      <input
        type="checkbox"
        checked={draft.value.isActive}
        onChange={(event) => set({ isActive: event.currentTarget.checked })}
      />
      Active
    </label>
  );
}

function Refused() {
  return (
    <p class="refusal wide" role="alert">
      {refusal.value?.message}
    </p>
  );
}

const found = signal<readonly User[]>([]);

/** Chooses whom to edit: what is typed is looked for, and a whole username is taken. */
function Finder() {
  return (
    <label class="finder">
      Or edit one that exists
      <input
        type="search"
        list="found"
        placeholder="start of a name or an email"
        onFocus={(event) => void find(event.currentTarget)}
        onInput={(event) => void find(event.currentTarget)}
      />
      <datalist id="found">
        {found.value.map(({ id, username, email }) => (
          <option key={id} value={username}>
            {email}
          </option>
        ))}
      </datalist>
    </label>
  );
}

async function find(input: HTMLInputElement): Promise<void> {
  const search = input.value.trim();
  const { users } = await ask(UsersDocument, { first: 8, ...(search !== '' && { filter: { search } }) }).catch(
    () => ({ users: { nodes: [] } }) as never,
  );
  if (search !== input.value.trim()) return; // typed on meanwhile
  found.value = users.nodes;
  const chosen = found.value.find(({ username }) => username === search);
  if (!chosen) return;
  load(chosen);
  input.value = '';
}

async function submit(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const { value: user } = edited;
  await attempt(async () => {
    if (!user) await create(draft.value);
    else await save(user, draft.value);
  });
}

async function create({ username, email, password, ...rest }: Draft): Promise<void> {
  const input = { username, email, password, ...namesOf(rest) };
  await send('INSERT', username, async () => {
    const { createUser } = await ask(CreateUserDocument, { input, confirm: 'COMMITTED' });
    return written(createUser);
  });
  createAnother();
}

async function save({ id }: User, { username, email, isActive, ...rest }: Draft): Promise<void> {
  const input = { username, email, isActive, ...namesOf(rest) };
  await send('UPDATE', username, async () => {
    const { updateUser } = await ask(UpdateUserDocument, { id, input, confirm: 'COMMITTED' });
    load(updateUser.user);
    return written(updateUser);
  });
}

/** A name that is left empty is none. */
const namesOf = ({ firstName, lastName }: Pick<Draft, 'firstName' | 'lastName'>) => ({
  firstName: firstName || null,
  lastName: lastName || null,
});

async function remove({ id, username }: User): Promise<void> {
  await attempt(async () => {
    await send('DELETE', username, async () =>
      written((await ask(DeleteUserDocument, { id, confirm: 'COMMITTED' })).deleteUser),
    );
    createAnother();
  });
}

const written = ({ user, bookmark }: { user: User; bookmark: string }): Written => ({
  key: user.id,
  bookmark,
  updatedAt: user.updatedAt ?? user.createdAt,
});

/** One write at a time. What the server refuses is shown at the form. */
async function attempt(work: () => Promise<void>): Promise<void> {
  isSending.value = true;
  refusal.value = null;
  try {
    await work();
  } catch (error) {
    refusal.value = error instanceof Refusal ? error : new Refusal(String(error), 'INTERNAL_SERVER_ERROR');
  } finally {
    isSending.value = false;
  }
}
