/** What the configuration may say and this version does not do: never ignored in silence. */
import type { HastateSettings, HastSettings } from '../model/settings.ts';

/** One sentence each, for the log at start and for `status`. */
export function notYet(settings: HastateSettings, hast: HastSettings): string[] {
  const exec = hast.resources
    .filter((resource) => resource.exec !== null)
    .map(({ name }) => `resource ${name}: 'exec' of hast.conf is not run yet: use a group's hooks`);
  const groups = settings.groups.flatMap((group) => [
    ...(group.failback === 'never'
      ? []
      : [
          `group ${group.name}: 'failback: ${group.failback}' is not there yet: move it back with 'hastate switchover ${group.name}'`,
        ]),
    ...(group.policy === 'consistent'
      ? [
          `group ${group.name}: fence hooks are not run yet, so 'policy: consistent' waits for a person: 'hastate promote ${group.name}'`,
        ]
      : []),
  ]);
  const syslog =
    settings.log.syslog === null ? [] : ['log.syslog is not there yet: the log goes to standard error'];
  return [...exec, ...groups, ...syslog];
}
