import { isSession } from './decoders.js';

/** The page behind a login link: takes the token out of the address, posts it, and goes to the dashboard. */
async function logIn(): Promise<void> {
  const token = location.hash.slice(1);
  // Out of the address bar and the history before anything else is done with it.
  history.replaceState(null, '', location.pathname);
  if (token === '') return lookAround();
  say('Logging in …', false);
  try {
    const response = await fetch('/v1/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    });
    if (response.ok) return location.replace('/');
    say(sentence(response.status), true);
  } catch {
    say('The node does not answer. Is it running, and reached by this address?', true);
  }
}

/** Somebody came without a link: from another site, perhaps, where the browser does not show that he is logged in. */
async function lookAround(): Promise<void> {
  try {
    const session: unknown = await (await fetch('/v1/session')).json();
    if (isSession(session) && session.loggedIn) return location.replace('/');
  } catch {
    // Without an answer a link is the way in all the same.
  }
  say('You need a login link to look at this node.', true);
}

function sentence(status: number): string {
  if (status === 429) return 'Too many attempts: wait a minute, then open the link again.';
  return 'This link was used already, or its time is over. A link works once.';
}

function say(text: string, withHow: boolean): void {
  const said = document.querySelector('#said');
  const how = document.querySelector<HTMLElement>('#how');
  if (said !== null) said.textContent = text;
  if (how !== null) how.hidden = !withHow;
}

// A link pasted into a page that is open already changes only what stands behind the #.
addEventListener('hashchange', () => void logIn());
void logIn();
