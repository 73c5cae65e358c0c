/** The whole page: who is there, what they hold, what their charts do, what happened. */
import { useEffect, useState } from 'preact/hooks';

import { Charts } from './charts.tsx';
import { EventList } from './event-list.tsx';
import { followServer } from './follow.ts';
import { Groups } from './groups.tsx';
import { Header } from './header.tsx';
import { EMPTY } from './store.ts';

export function App() {
  const [state, setState] = useState(EMPTY);
  const now = useClock();
  useEffect(() => followServer(setState), []);
  return (
    <div class="page">
      <Header state={state} now={now} />
      <main>
        <Groups nodes={state.nodes} />
        <Charts nodes={state.nodes} layouts={state.layouts} now={now} />
      </main>
      <EventList events={state.events} />
    </div>
  );
}

/** `performance.now()`, often enough for what counts seconds. */
function useClock(): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return now;
}
