/** `hastate create`: writes the metadata of a new resource, as hastctl lays it out. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT, exitCodeOf } from './exit.ts';
import { logLine } from './hastctl-style.ts';
import { lockLocal, openLocal } from './local-component.ts';
import type { LocalComponent } from './local-component.ts';
import { expandNumber } from './sizes.ts';
import { systemText } from '../config/files.ts';
import { describeError, WireError } from '../model/errors.ts';
import { VIRGIN_RECORD } from '../model/record.ts';
import type { ResourceSettings } from '../model/settings.ts';
import {
  decodeMetadataBlock,
  encodeMetadataBlock,
  layout,
  METADATA_BYTES,
} from '../protocol/hast-metadata.ts';
import type { DecodedMetadata } from '../protocol/hast-metadata.ts';

/** As for hastctl, 0 means the default; of mediasize, all there is. */
interface CreateOptions {
  readonly extentsize: number;
  readonly keepdirty: number;
  readonly mediasize: number;
  /** Of where the data starts; 0 is hastctl's layout. */
  readonly align: number;
  readonly force?: boolean;
}

const DEFAULT_EXTENT = 2 * 1024 * 1024;
const DEFAULT_KEEPDIRTY = 64;
const MAX_UINT32 = 0xffff_ffff;
const CHUNK_BYTES = 1024 * 1024;
/** What lies between map and data goes over the link with the map. */
const MAX_ALIGN = 1024 * 1024;

export function createCommand(program: Command, cli: Cli): void {
  program
    .command('create')
    .description('write fresh metadata on the local components of resources')
    .argument('<name...>', 'resources of hast.conf')
    .option('-e, --extentsize <size>', 'bytes that one bit of the map stands for, 2M', size('extentsize'), 0)
    .option(
      '-k, --keepdirty <count>',
      'extents that stay marked to save map writes, 64',
      size('keepdirty'),
      0,
    )
    .option('-m, --mediasize <size>', 'use only so much of the component', size('mediasize'), 0)
    .option(
      '--align <size>',
      'start the data at a multiple of this, e.g. 4k; the same on both nodes, hastctl knows no such option',
      size('align'),
      0,
    )
    .option('--force', 'overwrite the metadata of a resource that was in use')
    .action(async (names: string[], options: CreateOptions) => {
      const hast = await cli.hast();
      for (const name of names) {
        try {
          const resource = hast.resources.find((known) => known.name === name);
          if (resource === undefined) {
            const known = hast.resources.map((one) => one.name).join(', ') || 'none';
            logLine(cli, 'ERROR', null, `Unknown resource ${name}.`, `hast.conf has ${known}`);
            cli.exitWith(EXIT.data);
            continue;
          }
          const written = await createOne(resource, options, (warning) => {
            logLine(cli, 'WARNING', name, warning);
          });
          if (cli.options.json === true) cli.print(written, () => '');
        } catch (error) {
          const hint = error instanceof CliError ? error.hint : null;
          logLine(cli, 'ERROR', name, error instanceof CliError ? error.message : describeError(error), hint);
          cli.exitWith(exitCodeOf(error));
        }
      }
    });
}

function size(option: string): (text: string) => number {
  return (text) => {
    const value = expandNumber(text);
    if (value !== null) return value;
    throw new CliError(EXIT.usage, `Invalid ${option}: '${text}' is no size; write e.g. 4096, 2M or 1g`);
  };
}

/** Written metadata, or a CliError: 65 bad sizes, 66 cannot open or in use, 74 write error. */
async function createOne(
  { name, local }: ResourceSettings,
  options: CreateOptions,
  warn: (text: string) => void,
): Promise<object> {
  const component = await openLocal(local, 'r+');
  try {
    if (!(await lockLocal(local, component))) {
      warn(`whether a daemon uses ${local} cannot be told without the package @ronomon/direct-io`);
    }
    const { mediasize, extentsize, keepdirty } = checkedSizes(local, component, options);
    const align = checkedAlign(options.align, component);
    const { datasize, localoff } = layout(mediasize, extentsize, component.sectorsize, align);
    if (datasize < component.sectorsize) {
      throw new CliError(
        EXIT.data,
        `${mediasize} bytes are too small for metadata, map and data; use a larger component`,
      );
    }
    await refuseOverwrite(name, local, component, options.force === true);
    const counters = { resuid: 0n, localcnt: 0n, remotecnt: 0n, prevrole: 'init' } as const;
    const meta = { resource: name, datasize, extentsize, keepdirty, offset: localoff, ...counters };
    await write(
      local,
      component,
      encodeMetadataBlock(meta, { record: VIRGIN_RECORD, sequence: 1n }),
      localoff,
    );
    return meta;
  } finally {
    await component.file.close();
  }
}

/** Refuses in hastctl's words and order what it refuses, then what it should. */
function checkedSizes(
  local: string,
  component: LocalComponent,
  options: CreateOptions,
): Required<Pick<CreateOptions, 'mediasize' | 'extentsize' | 'keepdirty'>> {
  const { sectorsize } = component;
  const mediasize = options.mediasize === 0 ? component.mediasize : options.mediasize;
  const extentsize = options.extentsize === 0 ? DEFAULT_EXTENT : options.extentsize;
  const keepdirty = options.keepdirty === 0 ? DEFAULT_KEEPDIRTY : options.keepdirty;
  const refuse = (message: string, hint: string | null = null): never => {
    throw new CliError(EXIT.data, message, { hint });
  };
  if (mediasize > component.mediasize)
    refuse(
      `Provided mediasize is larger than provider ${local} size.`,
      `it has ${component.mediasize} bytes`,
    );
  if (extentsize < sectorsize)
    refuse(`Extent size (${extentsize}) is less than sector size (${sectorsize}).`, 'use e.g. 2M');
  if (extentsize % sectorsize !== 0)
    refuse(`Extent size (${extentsize}) is not multiple of sector size (${sectorsize}).`, 'use e.g. 2M');
  // hastctl lets this pass and hastd dies of it.
  if (!Number.isInteger(Math.log2(extentsize)))
    refuse(`Extent size (${extentsize}) is not power of 2; use e.g. 2M.`);
  if (extentsize > MAX_UINT32) refuse(`Extent size (${extentsize}) does not fit into 32 bits; use e.g. 2M.`);
  if (keepdirty > MAX_UINT32) refuse(`Keepdirty (${keepdirty}) is larger than ${MAX_UINT32}.`);
  if (mediasize % sectorsize !== 0)
    refuse(
      `Mediasize (${mediasize}) is not multiple of sector size (${sectorsize}); use -m ${mediasize - (mediasize % sectorsize)}.`,
    );
  return { mediasize, extentsize, keepdirty };
}

function checkedAlign(align: number, { sectorsize }: LocalComponent): number {
  if (align === 0) return 1;
  if (Number.isInteger(Math.log2(align)) && align >= sectorsize && align <= MAX_ALIGN) return align;
  throw new CliError(
    EXIT.data,
    `Alignment (${align}) is no power of 2 from the sector size (${sectorsize}) to ${MAX_ALIGN}; use e.g. 4k.`,
  );
}

async function refuseOverwrite(
  name: string,
  local: string,
  component: LocalComponent,
  force: boolean,
): Promise<void> {
  const block = Buffer.alloc(METADATA_BYTES);
  await component.file.read(block, 0, METADATA_BYTES, 0);
  const known = readable(block);
  if (known === null) return;
  const { meta, own } = known;
  if (meta.resource !== name) {
    const wipe = `dd if=/dev/zero of=${local} bs=${METADATA_BYTES} count=1 conv=notrunc`;
    throw new CliError(
      EXIT.data,
      `${local} belongs to resource ${meta.resource}; correct 'local', or if its data is not needed: ${wipe}`,
    );
  }
  const virgin =
    meta.resuid === 0n && meta.prevrole === 'init' && (own === null || own.record.state === 'virgin');
  if (virgin || force) return;
  const message = `${local} already is a component of ${name} that was in use (resuid ${meta.resuid}); --force makes it virgin, and all its data is copied again from the other node`;
  throw new CliError(EXIT.data, message);
}

function readable(block: Buffer): DecodedMetadata | null {
  try {
    return decodeMetadataBlock(block, null);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

/** Old metadata goes first and the new comes last, so that a crash in between leaves none. */
async function write(
  local: string,
  { file }: LocalComponent,
  block: Buffer,
  localoff: number,
): Promise<void> {
  const zeros = Buffer.alloc(CHUNK_BYTES);
  try {
    for (let offset = 0; offset < localoff; offset += CHUNK_BYTES) {
      await writeAll(file, zeros.subarray(0, Math.min(CHUNK_BYTES, localoff - offset)), offset);
    }
    await file.sync();
    await writeAll(file, block, 0);
    await file.sync();
  } catch (cause) {
    throw new CliError(
      EXIT.io,
      `cannot write to ${local}: ${systemText(cause)}; it has no valid metadata now`,
      { cause },
    );
  }
}

async function writeAll(file: LocalComponent['file'], data: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < data.length;) {
    done += (await file.write(data, done, data.length - done, offset + done)).bytesWritten;
  }
}
