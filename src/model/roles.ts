/** A node's name: the word after `on` in hast.conf. */
export type NodeName = string;
/** HAST role of one resource on one node. Never mix with a CARP state. */
export type HastRole = 'init' | 'primary' | 'secondary';
export const HAST_ROLES: readonly HastRole[] = ['init', 'primary', 'secondary'];

export function isHastRole(word: string): word is HastRole {
  return HAST_ROLES.some((role) => role === word);
}

/** State of one CARP/VRRP instance on one node. Never mix with a HAST role. */
export type CarpState = 'INIT' | 'BACKUP' | 'MASTER';
/** When a write is acknowledged (SAFETY A2). */
export type ReplicationMode = 'fullsync' | 'memsync' | 'async';
export type ChecksumKind = 'none' | 'crc32' | 'sha256';
export type CompressionKind = 'none' | 'hole' | 'lzf';
/** What may promote a group without a person (SAFETY F). */
export type PolicyKind = 'available' | 'consistent' | 'manual';
/** How two nodes can hear each other (SAFETY, words). */
export type PathName = 'dataLink' | 'peerChannel' | 'adverts';
export const PATHS: readonly PathName[] = ['dataLink', 'peerChannel', 'adverts'];
