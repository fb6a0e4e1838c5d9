import { connection } from '../api/socket.ts';
import { replication } from '../state/replication.ts';
import { summary } from '../state/words.ts';
import { Picture } from './picture.tsx';
import { useSize } from './use-size.ts';

export function PicturePanel() {
  const [ref, { width }] = useSize<HTMLDivElement>();
  const { health, text } = summary(replication.value, connection.value);
  return (
    <section class="card picture-panel" aria-labelledby="servers">
      <h2 id="servers">Servers</h2>
      <p class="summary" role="status" data-health={health}>
        {text}
      </p>
      <div ref={ref} class="picture" data-stale={connection.value === 'lost'}>
        {replication.value && width > 0 && <Picture now={replication.value} width={width} />}
      </div>
    </section>
  );
}
