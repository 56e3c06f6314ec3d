import { bundleName, entries, packageExports } from './scripts/entries.mjs'

const built = packageExports()

/** One budget per browser entry: everything it brings except ethers, minified and gzipped. */
export default Object.entries(entries)
  .filter(([, { kilobytes }]) => kilobytes)
  .map(([subpath, { kilobytes }]) => ({
    name: subpath === '.' ? 'sluice-sdk' : `sluice-sdk/${bundleName(subpath)}`,
    path: built[subpath].import.default,
    limit: `${kilobytes} kB`,
    gzip: true,
    ignore: ['ethers'],
    modifyEsbuildConfig: config => ({ ...config, platform: 'browser', conditions: ['browser', 'module'] }),
  }))
