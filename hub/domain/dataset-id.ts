/** What can be a dataset's id: SciCat's are handles with slashes, ICAT's are numbers. Never part of a path. */
export const datasetIdPattern = /^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:/@+~-]{0,254}$/
