import { render } from 'preact';
import { Dashboard } from './page.js';

const place = document.querySelector('#page');
if (place !== null) render(<Dashboard />, place);
