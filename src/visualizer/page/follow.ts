/** The page's line to its server. */
import type { ChartLayouts } from '../graph.ts';
import type { FeedEvents, FeedState } from '../graph-feed.ts';
import type { PageState } from './store.ts';
import { withEvents, withLink, withNode } from './store.ts';

export type Update = (change: (state: PageState) => PageState) => void;

const AGAIN_MS = 2000;

/** Follows the server until the result is called; reconnects for ever. */
export function followServer(update: Update): () => void {
  let source = open(update);
  void loadLayouts(update);
  // A browser gives up for good on a refusal, unlike on a broken connection.
  const watch = setInterval(() => {
    if (source.readyState !== EventSource.CLOSED) return;
    source = open(update);
  }, AGAIN_MS);
  return () => {
    clearInterval(watch);
    source.close();
  };
}

async function loadLayouts(update: Update): Promise<void> {
  try {
    const response = await fetch('/api/layouts');
    const layouts = (await response.json()) as ChartLayouts;
    update((state) => ({ ...state, layouts }));
  } catch {
    // Without the drawings the page still tells all states in words.
  }
}

function open(update: Update): EventSource {
  const source = new EventSource('/api/events');
  source.addEventListener('open', () => update((state) => withLink(state, 'live')));
  source.addEventListener('error', () => update((state) => withLink(state, 'lost')));
  source.addEventListener('state', ({ data }: MessageEvent<string>) => {
    const feed = JSON.parse(data) as FeedState;
    update((state) => withNode(state, feed, performance.now()));
  });
  source.addEventListener('journal', ({ data }: MessageEvent<string>) => {
    const events = JSON.parse(data) as FeedEvents;
    update((state) => withEvents(state, events));
  });
  return source;
}
