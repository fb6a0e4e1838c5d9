import { signal } from '@preact/signals';

/** Where the server asks who you are: a form that gets a token. The token lives as long as the tab. */
const KEY = 'readback-token';

export const token = signal(sessionStorage.getItem(KEY));
const refusal = signal<string | null>(null);

export const authorization = (): Record<string, string> =>
  token.value === null ? {} : { authorization: `Bearer ${token.value}` };

/**
 * An operation was refused: the form is shown where signing in may help. `asked`: the token that it was sent with; an
 * answer to one before that is late.
 */
export function noteRefusal(code: string, message: string, asked = token.value): void {
  if (asked !== token.value) return;
  if (code === 'UNAUTHENTICATED' || code === 'FORBIDDEN') refusal.value = message;
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
    refusal.value = (error as Error).message;
  }
}

export function SignIn() {
  if (refusal.value === null) return null;
  return (
    <section class="card sign-in" aria-labelledby="sign-in">
      <h2 id="sign-in">Sign in</h2>
      <p role="alert">{refusal.value}</p>
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
