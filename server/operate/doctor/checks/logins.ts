import type { Facts, Grant, ServerFacts } from '../facts.ts';
import type { Finding, Fix } from '../finding.ts';

/** Roles, what they may do, and the login that takes them on. */
export function checkLogins({ primary, replicas }: Facts): Finding[] {
  return [primary, ...replicas].flatMap((server) =>
    server.basics?.isSetUp ? [...checkRoles(server), ...checkLogin(server), ...checkGrants(server)] : [],
  );
}

const grant = (server: string): Fix => ({ name: 'grant', server });

function checkRoles({ name, missingRoles = [] }: ServerFacts): Finding[] {
  return missingRoles.map((role) => ({
    check: 'role-missing',
    severity: 'error',
    server: name,
    found: `there is no role ${role}`,
    expected: 'the roles that set-up makes, which own nothing',
    remedy: `Run there: create role ${role} nologin; then grant it what sql/ grants it, or let readback doctor --fix do both.`,
    fix: grant(name),
  }));
}

function checkLogin({ name, login, missingRoles = [] }: ServerFacts): Finding[] {
  if (!login) return [];
  if (login.refused !== undefined) return [refused(name, login.name, login.refused)];
  const lacks = login.lacks.filter((role) => !missingRoles.includes(role));
  return [
    ...(lacks.length > 0 ? [lacking(name, login.name, lacks)] : []),
    ...(login.isSuperuser ? [superuser(name, login.name)] : []),
  ];
}

const refused = (server: string, login: string, reason: string): Finding => ({
  check: 'login',
  severity: 'error',
  server,
  found: `the server's login ${login} cannot connect: ${reason}`,
  expected: 'the user and password of the URL are good',
  remedy: `Correct the URL, or run there: alter role ${login} login password '…'; if there is no such login, readback migrate makes it.`,
});

const lacking = (server: string, login: string, roles: string[]): Finding => ({
  check: 'login',
  severity: 'error',
  server,
  found: `the server's login ${login} may not take on ${roles.join(', ')}`,
  expected: 'it is a member of them, as the server works in no other',
  remedy: `Run there: grant ${roles.join(', ')} to ${login};`,
  fix: grant(server),
});

const superuser = (server: string, login: string): Finding => ({
  check: 'login-superuser',
  severity: 'advice',
  server,
  found: `the server's login ${login} is a superuser`,
  expected: 'a login that owns nothing, so that a fault of the server reaches no further than its roles',
  remedy: 'Set the admin URL to this login, and the URL to another: readback migrate makes it.',
});

function checkGrants({ name, missingGrants = [] }: ServerFacts): Finding[] {
  const groups = Map.groupBy(missingGrants, ({ role, privilege, object }) => `${role} ${privilege} ${object}`);
  return [...groups.values()].map((grants) => ({
    check: 'privilege',
    severity: 'error',
    server: name,
    found: `${grants[0]!.role} lacks ${describe(grants)}`,
    expected: 'what sql/ grants',
    remedy: `Run there: ${statement(grants)}`,
    fix: grant(name),
  }));
}

const describe = (grants: Grant[]) => `${grants[0]!.privilege.toLowerCase()}${columns(grants)} on ${grants[0]!.object}`;

function statement(grants: Grant[]): string {
  const { privilege, kind, object, role } = grants[0]!;
  return `grant ${privilege.toLowerCase()}${columns(grants)} on ${kind} ${object} to ${role};`;
}

function columns(grants: Grant[]): string {
  const names = grants.flatMap(({ column }) => (column === null ? [] : [column]));
  return names.length > 0 ? ` (${names.join(', ')})` : '';
}
