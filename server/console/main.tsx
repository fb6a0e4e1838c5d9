import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './style/base.css';
import './style/layout.css';
import './style/picture.css';
import './style/tables.css';
import './style/form.css';
import './style/feed.css';
import './style/charts.css';
import { followForm } from './state/form.ts';
import { goLive } from './state/live.ts';
import { App } from './view/app.tsx';

goLive();
followForm();
render(<App />, document.body);
