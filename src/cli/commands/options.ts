/** Options that several commands share. */
export const ADDRESS = {
  value: "HOST:PORT",
  about: "The cluster's control, several addresses with commas. Default: MOBULA_ADDRESS, else the cluster of --dir",
} as const;
export const HTTP_ADDRESS = {
  value: "HOST:PORT|URL",
  about: "The cluster's control, or the URL of its HTTP API. Default: MOBULA_ADDRESS, else the cluster of --dir",
} as const;
export const DIR = { value: "FOLDER", about: "The cluster's folder. Default: MOBULA_HOME, else ~/.mobula" } as const;
export const TLS_DIR = { value: "FOLDER", about: "Certificates made by `mobula ca create`. Default: MOBULA_TLS_DIR" } as const;
