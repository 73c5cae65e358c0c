/** What happened on both nodes, by wall time, newest below. */
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';

import type { FeedEvent, FeedEvents } from '../graph-feed.ts';
import { formatTime } from './format.ts';
import { eventKey } from './store.ts';

const NEAR_END_PX = 24;

export function EventList({ events }: { readonly events: FeedEvents }) {
  const [filter, setFilter] = useState('');
  const list = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const shown = useMemo(() => events.filter((entry) => matches(entry, filter)), [events, filter]);
  useLayoutEffect(() => {
    const element = list.current;
    if (element !== null && following.current) element.scrollTop = element.scrollHeight;
  }, [shown]);
  return (
    <section class="events" aria-label="Events">
      <div class="bar">
        <h2>Events</h2>
        <input
          type="search"
          placeholder="Filter: words, a node, a group, a level"
          aria-label="Filter events"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        <span class="quiet">
          {filter === '' ? `${events.length}` : `${shown.length} of ${events.length}`}
        </span>
      </div>
      <div
        class="scroll"
        ref={list}
        tabIndex={0}
        role="log"
        aria-label="Event list"
        onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
          following.current = scrollTop + clientHeight >= scrollHeight - NEAR_END_PX;
        }}
      >
        <ol>
          {shown.map((entry) => (
            <li key={eventKey(entry)} class={`level-${entry.event.level}`}>
              <time dateTime={entry.event.time}>{formatTime(entry.event.time)}</time>
              <span class="who">{entry.event.node}</span>
              <span class="kind">{entry.event.kind}</span>
              <span class="text">{entry.event.message}</span>
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}

/** Every word of the filter must be somewhere in the line. */
function matches({ event }: FeedEvent, filter: string): boolean {
  const line = [event.node, event.kind, event.level, event.message, event.group ?? '', event.resource ?? '']
    .join(' ')
    .toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => line.includes(word));
}
