export const organizationService = (): any => ({});
