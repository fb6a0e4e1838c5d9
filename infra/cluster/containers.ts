import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  DockerComposeEnvironment,
  getContainerRuntimeClient,
  type StartedDockerComposeEnvironment,
} from 'testcontainers';
import { settlePorts } from './ports.ts';

const run = promisify(execFile);
export const infra = fileURLToPath(new URL('..', import.meta.url));
const IMAGE = 'readback:test';

export type Service = 'primary' | 'replica-1' | 'replica-2' | 'server-1' | 'server-2' | 'set-up' | 'certificates';

export async function docker(...args: string[]): Promise<string> {
  const { stdout, stderr } = await run('docker', args, { maxBuffer: OUTPUT_BYTES });
  return stdout + (args[0] === 'logs' ? stderr : '');
}

/** Undefined where there are a Docker engine and Docker Compose, else what is missing. */
export async function whyNoContainers(): Promise<string | undefined> {
  try {
    await docker('info');
    await docker('compose', 'version');
    await getContainerRuntimeClient();
    return undefined;
  } catch (error) {
    return (error as Error).message.trim().split('\n').at(-1);
  }
}

/** Of these sources; what was built before is kept. Returns its name. */
export async function buildImage(): Promise<string> {
  await docker('build', '--file', join(infra, 'Dockerfile'), '--tag', IMAGE, join(infra, '..'));
  return IMAGE;
}

/** infra/compose.yml with the image of these sources, and with a name, ports, secrets and volumes of its own. */
export class Composition {
  readonly project = `readback-test-${process.pid}`;
  /** Of both servers. */
  readonly urls: string[];
  /** Folder of the passwords and URLs. */
  readonly secrets: string;
  readonly #settings: Record<string, string>;
  readonly #environment: DockerComposeEnvironment;
  #started: StartedDockerComposeEnvironment | undefined;

  private constructor(ports: [number, number], secrets: string) {
    this.urls = ports.map((port) => `http://127.0.0.1:${port}`);
    this.secrets = secrets;
    this.#settings = {
      READBACK_IMAGE: IMAGE,
      SECRETS_FOLDER: secrets,
      SERVER_1_PORT: String(ports[0]),
      SERVER_2_PORT: String(ports[1]),
    };
    this.#environment = new DockerComposeEnvironment(infra, 'compose.yml')
      .withProjectName(this.project)
      .withEnvironment(this.#settings);
  }

  /** Builds the image. Nothing is started before up(). */
  static async create(): Promise<Composition> {
    await buildImage();
    const secrets = mkdtempSync(join(tmpdir(), 'readback-secrets-'));
    await run('sh', [join(infra, 'compose/secrets.sh'), secrets]);
    const [first, second] = await settlePorts(['server-1', 'server-2'].map((name) => ({ name, port: 0 })));
    return new Composition([first!.port, second!.port], secrets);
  }

  /** As `docker compose up` does; resolves when all are healthy. */
  async up(): Promise<void> {
    this.#started = await this.#environment.up();
  }

  /** As `docker compose down` does: with removeVolumes, as with `-v`. */
  async down({ removeVolumes }: { removeVolumes: boolean }): Promise<void> {
    await this.#started?.down({ removeVolumes });
    this.#started = undefined;
  }

  async remove(): Promise<void> {
    await this.down({ removeVolumes: true });
    rmSync(this.secrets, { recursive: true, force: true });
  }

  /** The id of a service's container, be it running or not. */
  async id(service: Service): Promise<string> {
    const labels = [`com.docker.compose.project=${this.project}`, `com.docker.compose.service=${service}`];
    const filters = ['com.docker.compose.oneoff=False', ...labels].flatMap((label) => ['--filter', `label=${label}`]);
    const id = (await docker('ps', '--all', '--quiet', '--no-trunc', ...filters)).trim();
    if (!/^[0-9a-f]+$/.test(id)) throw new Error(`One container of ${service} was expected, got: ${id || 'none'}`);
    return id;
  }

  /** What a command says that runs in a service's container. */
  async exec(service: Service, ...command: string[]): Promise<string> {
    return (await docker('exec', await this.id(service), ...command)).trim();
  }

  /** Names of all that is there of it. */
  async remains(): Promise<string[]> {
    const ofProject = ['--filter', `label=com.docker.compose.project=${this.project}`];
    const listed = [
      await docker('ps', '--all', '--format', '{{.Names}}', ...ofProject),
      await docker('network', 'ls', '--format', '{{.Name}}', ...ofProject),
      await docker('volume', 'ls', '--format', '{{.Name}}', ...ofProject),
    ];
    return listed.flatMap((names) => names.split('\n')).filter((name) => name !== '');
  }

  /** As `docker compose run --rm --no-deps set-up …` does: a command of Readback with the superusers' URLs. */
  async readback(args: string[], input = ''): Promise<string> {
    const compose = ['compose', '--project-name', this.project, '--file', join(infra, 'compose.yml')];
    const ran = run('docker', [...compose, 'run', '--rm', '--no-deps', '-T', 'set-up', ...args], {
      env: { ...process.env, ...this.#settings },
    });
    ran.child.stdin!.end(input);
    return (await ran).stdout;
  }
}

/** More than the build of an image says. */
const OUTPUT_BYTES = 64 * 1024 * 1024;
