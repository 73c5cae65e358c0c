/** What the configuration may say and this version does not do: never ignored in silence. */
import type { HastateSettings, HastSettings } from '../model/settings.ts';

/** One sentence each, for the log at start and for `status`. */
export function notYet(settings: HastateSettings, hast: HastSettings): string[] {
  const metaflush = hast.resources
    .filter((resource) => !resource.metaflush)
    .map(
      ({ name }) =>
        `resource ${name}: 'metaflush off' is not followed: the activemap is flushed before every write that needs it`,
    );
  const groups = settings.groups.flatMap((group) => [
    ...(group.failback === 'never'
      ? []
      : [
          `group ${group.name}: 'failback: ${group.failback}' is not there yet: move it back with 'hastate switchover ${group.name}'`,
        ]),
  ]);
  return [...metaflush, ...groups];
}
