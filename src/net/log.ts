/** Where the network parts say what they see. The daemon binds it to its log and journal. */
export type NetLog = (level: 'error' | 'warn' | 'info' | 'debug', message: string) => void;
