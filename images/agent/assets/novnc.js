/* What the desktop's page takes of noVNC; made into one file with the agent (bundle.ts). */
export { default as RFB } from '@novnc/novnc'
