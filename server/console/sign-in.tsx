import { signal } from '@preact/signals';

/** Where the server asks who you are: a form that gets a token. The token lives as long as the tab. */
const KEY = 'readback-token';

export const token = signal(sessionStorage.getItem(KEY));

/** What the server says to who may not, and whether signing in may help: a project without accounts has nobody to be. */
const refusal = signal<{ text: string; helps: boolean } | null>(null);

export const authorization = (): Record<string, string> =>
  token.value === null ? {} : { authorization: `Bearer ${token.value}` };

/**
 * An operation was refused. `asked`: the token that it was sent with, where that is known; an answer to one before that is
 * late, and one that is no good any more is forgotten. The server asks who somebody is only where there are accounts.
 */
export function noteRefusal(code: string, text: string, asked?: string | null): void {
  if (asked !== undefined && asked !== token.value) return;
  if (code === 'UNAUTHENTICATED' && asked != null) forget();
  else if (code === 'UNAUTHENTICATED') refusal.value = { text, helps: true };
  else if (code === 'FORBIDDEN' && !refusal.value?.helps) refusal.value = { text, helps: token.value !== null };
}

/** What is refused without it says whether there is anybody to be. */
function forget(): void {
  sessionStorage.removeItem(KEY);
  refusal.value = null;
  token.value = null;
}

async function signIn(login: string, password: string): Promise<void> {
  const query =
    'mutation SignIn($login: String!, $password: String!) { signIn(login: $login, password: $password) { token } }';
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables: { login, password } }),
  });
  const { data, errors } = (await response.json()) as {
    data?: { signIn: { token: string } | null } | null;
    errors?: { message: string }[];
  };
  if (!data?.signIn) throw new Error(errors?.[0]?.message ?? 'The server did not sign you in.');
  keep(data.signIn.token);
}

function keep(text: string): void {
  sessionStorage.setItem(KEY, text);
  token.value = text;
  refusal.value = null;
}

async function submit(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const form = event.currentTarget as HTMLFormElement;
  const valueOf = (name: string) => (form.elements.namedItem(name) as HTMLInputElement).value;
  try {
    await signIn(valueOf('login'), valueOf('password'));
  } catch (error) {
    refusal.value = { text: (error as Error).message, helps: true };
  }
}

export function SignIn() {
  const { value } = refusal;
  if (value === null) return null;
  if (!value.helps)
    return (
      <p class="notice" role="alert" data-health="late">
        {value.text} This project has no accounts to sign in with.
      </p>
    );
  return (
    <section class="card sign-in" aria-labelledby="sign-in">
      <h2 id="sign-in">Sign in</h2>
      <p role="alert">{value.text}</p>
      <form class="fields" onSubmit={(event) => void submit(event)}>
        <label>
          Login
          <input name="login" autocomplete="username" required />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        <div class="buttons">
          <button class="strong">Sign in</button>
          <button type="button" onClick={() => (refusal.value = null)}>
            Not now
          </button>
        </div>
      </form>
    </section>
  );
}
