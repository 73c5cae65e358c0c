/** Tells the journal what changes in the hook directory. It applies to the next transition by itself. */
import { type HookChange, type HookWatch, watchHooks } from '../../hooks/watch.ts';
import { describeError } from '../../model/errors.ts';
import type { Runtime } from '../runtime.ts';
import { hooksDirectory } from './hooks.ts';

/** @param runtime whose settings say where the hooks are */
export function tellHookChanges(runtime: Pick<Runtime, 'settings' | 'journal'>): HookWatch {
  const { journal } = runtime;
  const dir = hooksDirectory(runtime);
  return watchHooks({
    dir,
    onChange: (changes, more) => {
      for (const change of changes) {
        const refused = change.refused !== null;
        journal.add({
          kind: refused ? 'hooks.refused' : 'hooks.changed',
          level: refused ? 'error' : 'info',
          message: told(change),
          data: { dir, ...change },
        });
      }
      if (more === 0) return;
      const message = `hooks: ${more} more files of ${dir} changed; run: hastate hooks check`;
      journal.add({ kind: 'hooks.changed', level: 'warn', message });
    },
    onError: (error) => {
      journal.add({
        kind: 'hooks.unwatched',
        level: 'warn',
        message: `changes of ${dir} may not be told any more (${describeError(error)}); they apply all the same`,
      });
    },
  });
}

function told({ name, what, refused }: HookChange): string {
  if (what === 'removed')
    return `hook ${name} was removed: a group that names it cannot start at its next transition`;
  if (refused !== null) return `hook ${name} is ${what} and may not run: ${refused}`;
  return `hook ${name} is ${what} and accepted: it applies to the next transition`;
}
