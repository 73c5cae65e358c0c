/** A resource of ours in the words of hastctl's protocol. */
import type { ResourceStatus } from './control.ts';
import type { HastctlStatus } from './hastctl.ts';

/**
 * What hastd would tell of such a resource. It runs a worker for a primary and for a secondary
 * that has its primary; a secondary's worker knows no activemap, so those fields are 0.
 * @param pid of the process that serves the resource
 */
export function asHastctlStatus(resource: ResourceStatus, pid: number): HastctlStatus {
  const { status, counters, queues } = resource;
  const primary = resource.role === 'primary';
  return {
    name: resource.name,
    provname: resource.provname,
    localpath: resource.localpath,
    remoteaddr: resource.remoteaddr,
    sourceaddr: resource.sourceaddr,
    replication: resource.replication,
    checksum: resource.checksum,
    compression: resource.compression,
    role: resource.role,
    workerpid: status === '-' ? 0 : pid,
    worker:
      status === '-'
        ? null
        : {
            status,
            dirty: primary ? resource.dirtyBytes : 0,
            extentsize: resource.extentsize,
            keepdirty: primary ? resource.keepdirty : 0,
            statistics: {
              read: counters.reads,
              write: counters.writes,
              delete: counters.deletes,
              flush: counters.flushes,
              activemapUpdate: primary ? counters.activemapUpdates : 0,
              readError: counters.readErrors,
              writeError: counters.writeErrors,
              deleteError: counters.deleteErrors,
              flushError: counters.flushErrors,
            },
            queues,
          },
  };
}
