import { SignIn } from '../sign-in.tsx';
import { Charts } from './charts.tsx';
import { FeedPanel } from './feed-panel.tsx';
import { Header } from './header.tsx';
import { PicturePanel } from './picture-panel.tsx';
import { TablesPanel } from './tables-panel.tsx';
import { WayPanel } from './way-panel.tsx';

export function App() {
  return (
    <>
      <Header />
      <main>
        <SignIn />
        <div class="board">
          <PicturePanel />
          <WayPanel />
          <TablesPanel />
          <FeedPanel />
          <Charts />
        </div>
      </main>
    </>
  );
}
