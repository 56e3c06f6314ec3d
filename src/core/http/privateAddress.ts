import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** Where no public IPv4 server is: IANA's special-purpose registry, and what clouds put beside it. */
const IPV4: readonly (readonly [net: string, prefix: number])[] = [
  ['0.0.0.0', 8], // this host (RFC 791)
  ['10.0.0.0', 8], // private (RFC 1918)
  ['100.64.0.0', 10], // behind a carrier's NAT (RFC 6598); metadata of Alibaba Cloud
  ['127.0.0.0', 8], // loopback (RFC 1122)
  ['168.63.129.16', 32], // Azure's metadata
  ['169.254.0.0', 16], // link-local (RFC 3927); metadata of most clouds
  ['172.16.0.0', 12], // private (RFC 1918)
  ['192.0.0.0', 24], // protocol assignments (RFC 6890); metadata of Oracle's cloud
  ['192.0.2.0', 24], // documentation (RFC 5737)
  ['192.88.99.0', 24], // 6to4 relays (RFC 7526)
  ['192.168.0.0', 16], // private (RFC 1918)
  ['198.18.0.0', 15], // benchmarks (RFC 2544)
  ['198.51.100.0', 24], // documentation (RFC 5737)
  ['203.0.113.0', 24], // documentation (RFC 5737)
  ['224.0.0.0', 3], // multicast (RFC 5771), reserved (RFC 1112), broadcast
]
/** What is not public of 2000::/3, the only IPv6 addresses that are given out. */
const IPV6: readonly (readonly [net: string, prefix: number])[] = [
  ['2001::', 23], // protocol assignments (RFC 2928), Teredo, which holds an IPv4 address
  ['2001:db8::', 32], // documentation (RFC 3849)
  ['2002::', 16], // 6to4, which holds an IPv4 address (RFC 3056)
  ['3fff::', 20], // documentation (RFC 9637)
]

const refused = new BlockList()
for (const [net, prefix] of IPV4) refused.addSubnet(net, prefix, 'ipv4')
for (const [net, prefix] of IPV6) refused.addSubnet(net, prefix, 'ipv6')
const given = new BlockList()
given.addSubnet('2000::', 3, 'ipv6')

/**
 * Whether an address is not one of the public internet: loopback, private, link-local, unique-local, multicast, reserved,
 * or IPv6 that holds an IPv4 address (mapped, NAT64, 6to4, Teredo). What is no address at all is not public either.
 */
export function isPrivateAddress(address: string): boolean {
  // Without a zone, which means nothing elsewhere.
  const bare = address.replace(/%.*$/, '')
  if (isIPv4(bare)) return refused.check(bare, 'ipv4')
  return !isIPv6(bare) || !given.check(bare, 'ipv6') || refused.check(bare, 'ipv6')
}
