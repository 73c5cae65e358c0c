/** Where things lie on a local component, as `hastctl create` computes it. @see hast.md section 2 */

/** The metadata block's size, whatever the sector size. */
export const METADATA_BYTES = 4096;

export interface HastLayout {
  /** Bytes of the activemap region on disk. It may be longer than the map of `extents` needs. */
  readonly mapBytes: number;
  /** Where user data starts. */
  readonly localoff: number;
  readonly datasize: number;
  readonly extents: number;
}

const WORD_BITS = 64;

/** Bytes of a bit string of 64-bit words, as FreeBSD's bitstr_size. */
export function activemapBytes(size: number, extentsize: number): number {
  return Math.ceil(Math.ceil(size / extentsize) / WORD_BITS) * (WORD_BITS / 8);
}

/**
 * All in bytes. The map region is sized from mediasize - 4096, not from datasize.
 * `datasize` is not positive when the medium is too small.
 * @param align of `localoff`, a multiple of the sector size; hastctl knows none
 */
export function layout(mediasize: number, extentsize: number, sectorsize: number, align = 1): HastLayout {
  const map = Math.ceil(activemapBytes(mediasize - METADATA_BYTES, extentsize) / sectorsize) * sectorsize;
  const localoff = Math.ceil((METADATA_BYTES + map) / align) * align;
  const datasize = mediasize - localoff;
  return {
    mapBytes: localoff - METADATA_BYTES,
    localoff,
    datasize,
    extents: Math.ceil(datasize / extentsize),
  };
}

/** Bit i of a map is at byte i >> 3, bit i & 7. */
export function mapBit(map: Uint8Array, extent: number): boolean {
  return (((map[extent >> 3] ?? 0) >> (extent & 7)) & 1) === 1;
}
