/** `hastate dump`: the metadata of local components, read from the disk itself. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';
import { dumpText } from './hastctl-text.ts';
import { logLine } from './hastctl-style.ts';
import { openLocal } from './local-component.ts';
import { describeError } from '../model/errors.ts';
import type { ResourceSettings } from '../model/settings.ts';
import { decodeMetadataBlock, METADATA_BYTES } from '../protocol/hast-metadata.ts';
import type { DecodedMetadata } from '../protocol/hast-metadata.ts';

export function dumpCommand(program: Command, cli: Cli): void {
  program
    .command('dump')
    .description('print the metadata of resources, read from their disks')
    .argument('[name...]', 'resources of hast.conf, or all')
    .action(async (names: string[]) => {
      const { resources } = await cli.hast();
      const all = names.length === 0 || (names.length === 1 && names[0] === 'all');
      const found: object[] = [];
      for (const name of all ? resources.map((resource) => resource.name) : names) {
        const resource = resources.find((known) => known.name === name);
        if (resource === undefined) {
          const known = resources.map((one) => one.name).join(', ') || 'none';
          logLine(cli, 'ERROR', null, `Unknown resource ${name}.`, `hast.conf has ${known}`);
          cli.exitWith(EXIT.data);
          continue;
        }
        try {
          const { meta, own, freshness } = await read(resource);
          if (cli.options.json === true) found.push({ ...meta, record: own?.record ?? null, freshness });
          else cli.io.out(dumpText(meta));
        } catch (error) {
          const [text, hint] =
            error instanceof CliError
              ? [error.message, error.hint]
              : [`${name}: ${describeError(error)}`, null];
          logLine(cli, 'ERROR', null, text, hint);
          cli.exitWith(EXIT.dumpFailed);
        }
      }
      if (cli.options.json === true) cli.print(found, () => '');
    });
}

/** Read-only and without a lock: a running daemon is not disturbed. */
async function read({ name, local }: ResourceSettings): Promise<DecodedMetadata> {
  const { file } = await openLocal(local, 'r');
  try {
    const block = Buffer.alloc(METADATA_BYTES);
    const { bytesRead } = await file.read(block, 0, METADATA_BYTES, 0);
    const decoded = decodeMetadataBlock(block.subarray(0, bytesRead), null);
    if (decoded.meta.resource === name) return decoded;
    throw new CliError(EXIT.dumpFailed, `Provider ${local} is not part of resource ${name}.`, {
      hint: `it belongs to ${decoded.meta.resource}; correct 'local' in hast.conf`,
    });
  } finally {
    await file.close();
  }
}
