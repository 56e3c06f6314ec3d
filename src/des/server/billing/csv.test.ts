import { expect, it } from 'vitest'
import { writeCsv } from './csv.ts'

it('quotes, ends lines as RFC 4180 says, and begins with the mark', () => {
  expect(
    writeCsv([
      ['a', '1', '0.016'],
      ['say "x", y\nz', '', '学历信息'],
    ]),
  ).toBe('\uFEFF"a",1,0.016\r\n"say ""x"", y\nz","","学历信息"\r\n')
})

it('lets no text be a formula', () => {
  for (const text of [
    '=1+1',
    '+1',
    '-1',
    '@SUM(A1)',
    '\t=1',
    '\r=1',
    ' =1',
    '\u200b=1',
    '＝1',
    '=HYPERLINK("http://x")',
    '-0.5',
  ]) {
    expect(writeCsv([[text]])).toMatch(/^\uFEFF"'/)
  }
  expect(writeCsv([['1.3.1', '0', '12.5', '1.', '1e5']])).toBe('\uFEFF"1.3.1",0,12.5,"1.","1e5"\r\n')
})
