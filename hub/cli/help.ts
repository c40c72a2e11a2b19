/** The part of every --help that is the same. */
export const exitCodesHelp = `Exit codes
  0   all went well
  1   a failure that none of the others names
  2   the command line is wrong
  69  something is not available: the port is taken, another hub uses the state folder,
      the database does not answer
  73  the state folder can't be made or written
  74  the disk is full or fails
  78  the configuration is wrong`
