export const apiKeyService = (): any => ({});
