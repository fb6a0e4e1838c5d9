import { CHANNEL } from '../peers/subscription.mjs';

/**
 * What the peers' subscriptions live on: a trigger on the replica that sends each changed user along. It is there only
 * while a peer is measured, as it would cost the others time.
 */
export async function tellPeers(replica) {
  await replica.unsafe(`
    create or replace function public.tell_peers() returns trigger language plpgsql as $$
    begin
      perform pg_notify('${CHANNEL}', json_build_object('operation', tg_op, 'key', new.id, 'user', json_build_object(
        'id', new.id, 'username', new.username, 'firstName', new.first_name, 'lastName', new.last_name,
        'createdAt', new.created_at))::text);
      return null;
    end $$;
    create or replace trigger tell_peers after update on users for each row execute function public.tell_peers();
    alter table users enable always trigger tell_peers`);
}

export const tellNobody = (replica) => replica.unsafe('drop trigger if exists tell_peers on users');
