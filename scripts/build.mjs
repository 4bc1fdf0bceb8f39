// `npm run build`: everything, also what is not old.
import { build } from './prepare.mjs';

build();
