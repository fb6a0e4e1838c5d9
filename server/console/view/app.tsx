import { SignIn } from '../sign-in.tsx';
import { Charts } from './charts.tsx';
import { FeedPanel } from './feed-panel.tsx';
import { Header } from './header.tsx';
import { PicturePanel } from './picture-panel.tsx';
import { WritePanel } from './write-panel.tsx';

export function App() {
  return (
    <>
      <Header />
      <main>
        <SignIn />
        <div class="board">
          <PicturePanel />
          <WritePanel />
          <FeedPanel />
          <Charts />
        </div>
      </main>
    </>
  );
}
