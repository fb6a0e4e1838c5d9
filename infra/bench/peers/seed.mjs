/**
 * The project that Readback began as, by its description: Express and node-postgres, CRUD over REST, reads on the
 * replica and writes on the primary, passwords hashed with bcrypt, input checked, uniqueness looked up on the replica.
 */
import { createServer } from 'node:http';
import bcrypt from 'bcryptjs';
import cors from 'cors';
import express from 'express';
import pg from 'pg';
import { listen } from './listen.mjs';

const max = Number(process.env.POOL_SIZE);
const readPool = new pg.Pool({ connectionString: process.env.REPLICA_URL, max });
const writePool = new pg.Pool({ connectionString: process.env.PRIMARY_URL, max });

const COLUMNS = 'id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at';
const WRITABLE = ['username', 'email', 'first_name', 'last_name', 'is_active', 'email_verified'];

async function findById(id) {
  const { rows } = await readPool.query(`SELECT ${COLUMNS} FROM users WHERE id = $1`, [id]);
  return rows[0] ?? null;
}

async function isTaken(username, email) {
  const { rows } = await readPool.query('SELECT id FROM users WHERE username = $1 OR email = $2', [username, email]);
  return rows.length > 0;
}

async function create({ username, email, password, first_name, last_name }) {
  const hashed = await bcrypt.hash(password, 10);
  const { rows } = await writePool.query(
    `INSERT INTO users (username, email, password_hash, first_name, last_name) VALUES ($1, $2, $3, $4, $5) RETURNING ${COLUMNS}`,
    [username, email, hashed, first_name, last_name],
  );
  return rows[0];
}

async function update(id, fields) {
  const names = Object.keys(fields).filter((name) => WRITABLE.includes(name));
  const set = names.map((name, index) => `${name} = $${index + 2}`).join(', ');
  const { rows } = await writePool.query(`UPDATE users SET ${set} WHERE id = $1 RETURNING ${COLUMNS}`, [
    id,
    ...names.map((name) => fields[name]),
  ]);
  return rows[0] ?? null;
}

const app = express();
app.use(cors());
app.use(express.json());
app.use(express.urlencoded({ extended: true }));

app.get('/health', async (_, res) => {
  await Promise.all([readPool.query('SELECT 1'), writePool.query('SELECT 1')]);
  res.json({ status: 'healthy', timestamp: new Date().toISOString() });
});

const notFound = (res) => res.status(404).json({ success: false, message: 'User not found' });

app.get('/api/users/:id', async (req, res) => {
  const user = await findById(req.params.id);
  if (!user) return notFound(res);
  return res.json({ success: true, data: user });
});

app.post('/api/users', async (req, res) => {
  const { username, email, password } = req.body;
  if (!username || !email || !password) return res.status(400).json({ success: false, message: 'Missing fields' });
  if (await isTaken(username, email)) return res.status(409).json({ success: false, message: 'User exists' });
  return res.status(201).json({ success: true, data: await create(req.body) });
});

app.patch('/api/users/:id', async (req, res) => {
  const user = await update(req.params.id, req.body);
  return user ? res.json({ success: true, data: user }) : notFound(res);
});

await listen(createServer(app));
