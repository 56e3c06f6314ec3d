import { fileURLToPath } from 'node:url'

/**
 * What the examples sell unless they are given something else.
 *
 * The 1981-2010 U.S. Climate Normals of NOAA's National Climatic Data Center, hour by hour for Seattle: a work of the
 * U.S. government and so in the public domain. It is read from the npm package vega-datasets, which names its source as
 * https://www.ncdc.noaa.gov/cdo-web/datatools/normals.
 */
export const weather = {
  path: fileURLToPath(new URL('../../node_modules/vega-datasets/data/seattle-weather-hourly-normals.csv', import.meta.url)),
  info: 'Temperature, pressure and wind in Seattle, hour by hour. NOAA, U.S. Climate Normals 1981-2010; public domain.',
} as const
