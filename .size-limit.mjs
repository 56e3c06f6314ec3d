import { bundleName, entries, packageExports } from './scripts/entries.mjs'

const built = packageExports()

/** What a page loads later, when it is wanted (`import()`), is not part of what it carries at first. */
const later = {
  name: 'later',
  setup: ({ onResolve }) => onResolve({ filter: /./ }, ({ kind, path }) => (kind === 'dynamic-import' ? { path, external: true } : undefined)),
}

const budget = (name, path, kilobytes, plugins) => ({
  name,
  path,
  limit: `${kilobytes} kB`,
  gzip: true,
  ignore: ['ethers'],
  modifyEsbuildConfig: config => ({ ...config, platform: 'browser', conditions: ['browser', 'module'], plugins: [...(config.plugins ?? []), ...plugins] }),
})

/** One budget per browser entry: everything it brings at first except ethers, minified and gzipped. */
export default [
  ...Object.entries(entries)
    .filter(([, { kilobytes }]) => kilobytes)
    .map(([subpath, { kilobytes }]) =>
      budget(subpath === '.' ? 'sluice-sdk' : `sluice-sdk/${bundleName(subpath)}`, built[subpath].import.default, kilobytes, [later])),
  budget('sluice-sdk/buyer with all that it may load later', built['./buyer'].import.default, 45.5, []),
  budget('sluice-sdk/channel with all that it may load later', built['./channel'].import.default, 108, []),
]
