/** Reading configuration files, and who else may read the secret ones. */
import { open, readFile, stat } from 'node:fs/promises';
import { describeError } from '../model/errors.ts';
import { splitSecrets } from '../model/secrets.ts';
import { ConfigFileError } from './diagnostics.ts';

const MAX_BYTES = 1024 * 1024;

/**
 * The text of a configuration file of at most 1 MiB.
 * @param remedy what to do when it cannot be opened
 * @throws ConfigFileError `config-missing` when it cannot be opened, `config-invalid` when it is too large
 */
export async function readConfigFile(path: string, remedy: string): Promise<string> {
  const place = { file: path, line: 1, column: 1, severity: 'error' } as const;
  let text: string;
  try {
    // The size is asked first, so that a device or a log given by mistake does not fill the memory.
    const { size } = await stat(path);
    if (size > MAX_BYTES) {
      const message = `the file has ${size} bytes, more than a configuration of ${MAX_BYTES} bytes`;
      throw new ConfigFileError('config-invalid', [{ ...place, message, hint: 'is it the right file?' }]);
    }
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof ConfigFileError) throw cause;
    const message = `cannot open the file: ${systemText(cause)}`;
    throw new ConfigFileError('config-missing', [{ ...place, message, hint: remedy }], { cause });
  }
  return text;
}

/**
 * Why a file that holds a secret cannot be used, or null when it can: a regular file with
 * something in it that nobody but its owner may read or write.
 * @param what it holds
 */
export async function secretFileFault(
  path: string,
  what: 'the secret' | 'the private key' = 'the secret',
): Promise<{ message: string; hint: string } | null> {
  try {
    const handle = await open(path, 'r');
    try {
      const info = await handle.stat();
      const mode = (info.mode & 0o7777).toString(8).padStart(4, '0');
      if (!info.isFile()) return { message: `${path} is no regular file`, hint: 'name a file' };
      if ((info.mode & 0o177) !== 0) {
        return { message: `${path} has mode ${mode} and not 0600`, hint: `run 'chmod 0600 ${path}'` };
      }
      if (info.size === 0) return { message: `${path} is empty`, hint: `write ${what} into it` };
      return null;
    } finally {
      await handle.close();
    }
  } catch (error) {
    const hint =
      what === 'the secret'
        ? 'create it with mode 0600, the same on both nodes'
        : 'make it with mode 0600, or correct its path';
    return { message: `cannot read ${path}: ${systemText(error)}`, hint };
  }
}

/** Why the content of a file that secretFileFault() passed is no secret of the pair, or null when it is one. */
export async function secretFault(path: string): Promise<{ message: string; hint: string } | null> {
  try {
    splitSecrets(await readSecretFile(path));
    return null;
  } catch (error) {
    const [message = '', hint = ''] = describeError(error).split(': ');
    return { message: `${path}: ${message}`, hint };
  }
}

/** @returns its content, byte for byte. @throws ConfigFileError `config-missing` */
export async function readSecretFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const place = { file: path, line: 1, column: 1, severity: 'error' } as const;
    const message = `cannot read the secret: ${systemText(cause)}`;
    throw new ConfigFileError('config-missing', [{ ...place, message, hint: 'is it still there?' }], {
      cause,
    });
  }
}

const ERRNO_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is no directory',
  ELOOP: 'too many symbolic links',
};

/** The words of a system error without its code, call and path. */
export function systemText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return ERRNO_TEXTS[code] ?? error.message;
}
