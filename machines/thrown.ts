/** What an invoke's onError makes of whatever was thrown: text, since contexts are plain data. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Parameters of a `noteError`-like action from an error event. */
export const thrown = ({ event }: { event: { error: unknown } }) => ({ error: event.error });
