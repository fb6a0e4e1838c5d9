import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './style/base.css';
import './style/layout.css';
import './style/picture.css';
import './style/write.css';
import './style/feed.css';
import './style/charts.css';
import { goLive } from './state/live.ts';
import { App } from './view/app.tsx';

goLive();
render(<App />, document.body);
