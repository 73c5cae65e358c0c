/** What the configuration may say and this version does not do: never ignored in silence. */
import type { HastSettings } from '../model/settings.ts';

/** One sentence each, for the log at start and for `status`. */
export function notYet(hast: HastSettings): string[] {
  return hast.resources
    .filter((resource) => !resource.metaflush)
    .map(
      ({ name }) =>
        `resource ${name}: 'metaflush off' is not followed: the activemap is flushed before every write that needs it`,
    );
}
